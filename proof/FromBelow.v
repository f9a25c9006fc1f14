(* SPDX-License-Identifier: Apache-2.0 *)
(** The objective from below: it is bounded, and at a limit no higher than near it (lower semicontinuous). *)
From Coq Require Import Reals Arith Lra Lia.
From Thermoe Require Import ProblemStatement Sums Entropy Threshold Convexity Strong.
Open Scope R_scope.

(** * Small distances *)

Lemma small_enough n (P : nat -> R -> Prop) :
  (forall i r s, (i < n)%nat -> 0 < r <= s -> P i s -> P i r) ->
  (forall i, (i < n)%nat -> exists r, 0 < r /\ P i r) -> exists r, 0 < r /\ forall i, (i < n)%nat -> P i r.
Proof.
  induction n as [| n IH]; intros Down H; [exists 1; split; [lra | lia] |].
  destruct IH as (r & Hr & Pr); [intros i r s Hi; apply Down; lia | intros; apply H; lia |].
  destruct (H n ltac:(lia)) as (s & Hs & Ps). exists (Rmin r s).
  assert (0 < Rmin r s) by (apply Rmin_glb_lt; assumption).
  pose proof (Rmin_l r s). pose proof (Rmin_r r s). split; [assumption |]. intros i Hi.
  destruct (Nat.eq_dec i n) as [-> | D].
  - apply (Down n _ s); [lia | lra | exact Ps].
  - apply (Down i _ r); [lia | lra | apply Pr; lia].
Qed.

Lemma vanishes d c : (forall r, 0 < r -> Rabs d <= c * r) -> d = 0.
Proof.
  intros H. destruct (Req_dec d 0) as [Z | N]; [exact Z | exfalso].
  pose proof (Rabs_pos_lt d N) as P. set (r := Rabs d / (2 * (Rabs c + 1))).
  pose proof (Rabs_pos c) as C. assert (0 < r) as Hr by (apply Rdiv_lt_0_compat; lra).
  pose proof (H r Hr) as Q. pose proof (Rle_abs c) as A.
  assert (c * r <= (Rabs c + 1) * r) as B by (apply Rmult_le_compat_r; lra).
  replace ((Rabs c + 1) * r) with (Rabs d / 2) in B by (unfold r; field; lra). lra.
Qed.

Lemma sum_near n f g r : (forall i, (i < n)%nat -> Rabs (f i - g i) <= r) -> Rabs (sum n f - sum n g) <= INR n * r.
Proof.
  induction n as [| n IH]; intros H; [simpl; rewrite Rminus_0_r, Rabs_R0; lra |].
  cbn [sum]. rewrite S_INR. pose proof (IH ltac:(intros; apply H; lia)). pose proof (H n ltac:(lia)).
  replace (sum n f + f n - (sum n g + g n)) with ((sum n f - sum n g) + (f n - g n)) by ring.
  pose proof (Rabs_triang (sum n f - sum n g) (f n - g n)). lra.
Qed.

(** * Entropy *)

Lemma entropy_least t : 0 <= t <= 1 -> entropy (1 / 2) <= entropy t.
Proof.
  intros Ht. pose proof (entropy_gap t (1 / 2) Ht ltac:(lra)) as G.
  rewrite logit_difference in G by lra. replace (1 - 1 / 2) with (1 / 2) in G by field. lra.
Qed.

(** A tangent whose value at t is as near to entropy as one likes, at the ends of [0, 1] too. *)
Lemma near_tangent t error : 0 <= t <= 1 -> 0 < error ->
  exists z, 0 < z < 1 /\ entropy t - error <= entropy z + logit z * (t - z).
Proof.
  intros Ht He.
  assert (exists z, 0 < z < 1 /\ entropy 0 - error <= entropy z + logit z * (0 - z)) as Zero.
  { exists (1 - exp (- error)). pose proof (exp_pos (- error)).
    assert (exp (- error) < 1) by (rewrite <- exp_0; apply exp_increasing; lra).
    split; [lra |]. rewrite logit_difference by lra. unfold entropy.
    replace (1 - (1 - exp (- error))) with (exp (- error)) by ring. rewrite ln_exp, Rminus_0_r, ln_1. lra. }
  destruct (Req_dec t 0) as [-> | N0]; [exact Zero |].
  destruct (Req_dec t 1) as [-> | N1]; [| exists t; split; lra].
  destruct Zero as (z & Hz & Q). exists (1 - z). split; [lra |].
  rewrite entropy_mirrored. assert (entropy 1 = entropy 0) as -> by (rewrite <- (entropy_mirrored 0); f_equal; ring).
  rewrite logit_difference in Q |- * by lra. replace (1 - (1 - z)) with z by ring. lra.
Qed.

Lemma entropy_from_below t error : 0 <= t <= 1 -> 0 < error ->
  exists r, 0 < r /\ forall s, 0 <= s <= 1 -> Rabs (s - t) <= r -> entropy t - error <= entropy s.
Proof.
  intros Ht He. destruct (near_tangent t (error / 2) Ht ltac:(lra)) as (z & Hz & Q).
  pose proof (Rabs_pos (logit z)) as A. exists (error / (2 * (Rabs (logit z) + 1))).
  split; [apply Rdiv_lt_0_compat; lra |]. intros s Hs Near.
  pose proof (entropy_gap s z Hs Hz) as G.
  assert (Rabs (logit z * (s - t)) <= error / 2) as B.
  { rewrite Rabs_mult. apply Rle_trans with ((Rabs (logit z) + 1) * (error / (2 * (Rabs (logit z) + 1)))).
    - apply Rmult_le_compat; try apply Rabs_pos; lra.
    - right. field. lra. }
  pose proof (Rle_abs (- (logit z * (s - t)))) as C. rewrite Rabs_Ropp in C. nra.
Qed.

(** * The objective *)

Section Problem.
Variable p : problem.
Hypothesis cost_convex : convex (in_range p) (cost p).
Hypothesis cost_continuous : continuous p.
Hypothesis tau_positive : 0 < tau p.

Definition near (r : R) (x y : matrix) : Prop :=
  forall i e, (i < rows p)%nat -> (e < experts p)%nat -> Rabs (x i e - y i e) <= r.

Lemma loads_near r x y : near r x y -> forall l e, (e < experts p)%nat ->
  Rabs (loads p x l e - loads p y l e) <= INR (rows p) * r.
Proof.
  intros H l e He. apply sum_near. intros i Hi. pose proof (H i e Hi He) as N.
  destruct (_ =? _)%nat; [exact N |]. rewrite Rminus_0_r, Rabs_R0.
  eapply Rle_trans; [apply Rabs_pos | exact N].
Qed.

Lemma objective_from_below x error : feasible p x -> 0 < error ->
  exists r, 0 < r /\ forall y, feasible p y -> near r y x -> objective p x - error <= objective p y.
Proof.
  intros Hx He. set (share := error / 3). set (N := INR (rows p) * INR (experts p) + 1).
  assert (0 <= INR (rows p)) as Hrows by apply pos_INR. assert (0 <= INR (experts p)) as Hexperts by apply pos_INR.
  assert (0 < N) as HN by (unfold N; nra).
  assert (0 < share) as Hshare by (unfold share; lra).
  (* entropy *)
  destruct (small_enough (rows p) (fun i r => forall e, (e < experts p)%nat -> forall s, 0 <= s <= 1 ->
    Rabs (s - x i e) <= r -> entropy (x i e) - share / (tau p * N) <= entropy s)) as (r1 & Hr1 & Ent).
  { intros i r s Hi Hrs H e He' t Ht A. apply (H e He' t Ht). lra. }
  { intros i Hi. apply small_enough with (P := fun e r => forall s, 0 <= s <= 1 ->
      Rabs (s - x i e) <= r -> entropy (x i e) - share / (tau p * N) <= entropy s).
    - intros e r s He' Hrs H t Ht A. apply (H t Ht). lra.
    - intros e He'. apply entropy_from_below; [apply (proj2 (Hx i Hi) e He') |].
      apply Rdiv_lt_0_compat; [exact Hshare | nra]. }
  (* utility *)
  destruct (small_enough (rows p) (fun i r => forall e, (e < experts p)%nat -> Rabs (u p i e) * r <= share / N))
    as (r2 & Hr2 & Util).
  { intros i r s Hi Hrs H e He'. eapply Rle_trans; [| exact (H e He')].
    apply Rmult_le_compat_l; [apply Rabs_pos | lra]. }
  { intros i Hi. apply small_enough with (P := fun e r => Rabs (u p i e) * r <= share / N).
    - intros e r s He' Hrs H. eapply Rle_trans; [| exact H]. apply Rmult_le_compat_l; [apply Rabs_pos | lra].
    - intros e He'. pose proof (Rabs_pos (u p i e)) as A. exists (share / N / (Rabs (u p i e) + 1)).
      assert (0 < share / N) by (apply Rdiv_lt_0_compat; lra). split; [apply Rdiv_lt_0_compat; lra |].
      apply (Rmult_le_reg_r (Rabs (u p i e) + 1)); [lra |].
      replace (Rabs (u p i e) * (share / N / (Rabs (u p i e) + 1)) * (Rabs (u p i e) + 1))
        with (Rabs (u p i e) * (share / N)) by (field; lra).
      nra. }
  (* cost *)
  destruct (cost_continuous (loads p x) (loads_in_range p x Hx) share Hshare) as (small & Hsmall & Cost).
  set (r3 := small / (2 * (INR (rows p) + 1))).
  assert (0 < r3) as Hr3 by (apply Rdiv_lt_0_compat; lra).
  set (r := Rmin r1 (Rmin r2 r3)).
  assert (0 < r) as Hr by (repeat apply Rmin_glb_lt; assumption).
  assert (r <= r1 /\ r <= r2 /\ r <= r3) as (L1 & L2 & L3).
  { unfold r. pose proof (Rmin_l r1 (Rmin r2 r3)). pose proof (Rmin_r r1 (Rmin r2 r3)).
    pose proof (Rmin_l r2 r3). pose proof (Rmin_r r2 r3). lra. }
  exists r. split; [exact Hr |]. intros y Hy Near.
  assert (cost p (loads p x) - share <= cost p (loads p y)) as C.
  { pose proof (Cost (loads p y) (loads_in_range p y Hy)) as Q.
    assert (Rabs (cost p (loads p y) - cost p (loads p x)) < share) as A.
    { apply Q. intros l e Hl He'. eapply Rle_lt_trans; [exact (loads_near r y x Near l e He') |].
      apply Rle_lt_trans with ((INR (rows p) + 1) * r3); [apply Rmult_le_compat; lra |].
      unfold r3. replace ((INR (rows p) + 1) * (small / (2 * (INR (rows p) + 1)))) with (small / 2) by (field; lra).
      lra. }
    pose proof (Rle_abs (- (cost p (loads p y) - cost p (loads p x)))) as B. rewrite Rabs_Ropp in B. lra. }
  (* each entry costs at most its part of the two shares *)
  assert (sum2 (rows p) (experts p) (fun i e => (-1) * (2 * share / N)) <=
          sum2 (rows p) (experts p) (fun i e =>
            ((-1) * (u p i e * y i e - u p i e * x i e)) + tau p * (entropy (y i e) - entropy (x i e)))) as S.
  { apply sum2_le. intros i e Hi He'. pose proof (Near i e Hi He') as A.
    pose proof (Ent i Hi e He' (y i e) (proj1 (proj2 (Hy i Hi) e He')) ltac:(lra)) as E.
    assert (tau p * (entropy (x i e) - share / (tau p * N)) <= tau p * entropy (y i e)) as E'
      by (apply Rmult_le_compat_l; lra).
    replace (tau p * (entropy (x i e) - share / (tau p * N))) with (tau p * entropy (x i e) - share / N) in E'
      by (field; lra).
    assert (Rabs (u p i e * (y i e - x i e)) <= share / N) as U.
    { rewrite Rabs_mult. eapply Rle_trans; [| exact (Util i Hi e He')].
      apply Rmult_le_compat_l; [apply Rabs_pos | lra]. }
    pose proof (Rle_abs (u p i e * (y i e - x i e))). lra. }
  assert (sum2 (rows p) (experts p) (fun i e => (-1) * (2 * share / N)) = - (2 * share * ((N - 1) / N))) as T.
  { assert (forall n c, sum n (fun _ => c) = INR n * c) as Const
      by (clear; induction n as [| n IH]; intros c; [simpl; ring | cbn [sum]; rewrite S_INR, IH; ring]).
    unfold sum2. rewrite !Const. unfold N. field. fold N. lra. }
  assert ((N - 1) / N <= 1) as Part by (apply (Rmult_le_reg_r N); [exact HN |]; field_simplify; lra).
  rewrite T, sum2_plus, !sum2_scale, !sum2_minus in S. unfold objective.
  assert (2 * share * ((N - 1) / N) <= 2 * share) by nra. unfold share in *. lra.
Qed.

Lemma cost_bounded x : feasible p x -> exists low, forall n, in_range p n -> low <= cost p n.
Proof.
  intros Hx. set (n0 := loads p x). pose proof (loads_in_range p x Hx) as H0. fold n0 in H0.
  destruct (cost_continuous n0 H0 1 ltac:(lra)) as (small & Hsmall & C).
  destruct (bounded (layers p) (tokens p)) as (low & high & B). set (M := Rmax high 1).
  assert (1 <= M) by apply Rmax_r. assert (high <= M) by apply Rmax_l.
  set (a := small / (small + M)).
  assert (0 < a) as Ha by (apply Rdiv_lt_0_compat; lra).
  assert (a * (small + M) = small) as Ea by (unfold a; field; lra).
  assert (a < 1) as Ha1 by (apply (Rmult_lt_reg_r (small + M)); lra).
  exists (cost p n0 - 1 / a). intros n Hn.
  assert (in_range p (mix a n n0)) as Hm.
  { intros l e Hl He. pose proof (Hn l e Hl He). pose proof (H0 l e Hl He). unfold interval, mix in *. nra. }
  assert (Rabs (cost p (mix a n n0) - cost p n0) < 1) as Q.
  { apply C; [exact Hm |]. intros l e Hl He. pose proof (Hn l e Hl He). pose proof (H0 l e Hl He).
    pose proof (B l Hl). unfold interval, mix in *.
    replace (a * n l e + (1 - a) * n0 l e - n0 l e) with (a * (n l e - n0 l e)) by ring.
    rewrite Rabs_mult, (Rabs_right a) by lra.
    assert (Rabs (n l e - n0 l e) <= M) by (apply Rabs_le; lra).
    apply Rle_lt_trans with (a * M); [apply Rmult_le_compat_l; lra | nra]. }
  pose proof (cost_convex a n n0 ltac:(lra) Hn H0) as V.
  pose proof (Rle_abs (- (cost p (mix a n n0) - cost p n0))) as A. rewrite Rabs_Ropp in A.
  apply (Rmult_le_reg_l a); [exact Ha |].
  replace (a * (cost p n0 - 1 / a)) with (a * cost p n0 - 1) by (field; lra). lra.
Qed.

Lemma objective_bounded x : feasible p x -> exists low, forall y, feasible p y -> low <= objective p y.
Proof.
  intros Hx. destruct (cost_bounded x Hx) as [low L].
  exists (- sum2 (rows p) (experts p) (fun i e => Rabs (u p i e)) +
          tau p * sum2 (rows p) (experts p) (fun i e => entropy (1 / 2)) + low).
  intros y Hy. unfold objective. pose proof (L _ (loads_in_range p y Hy)).
  assert (sum2 (rows p) (experts p) (fun i e => u p i e * y i e) <=
          sum2 (rows p) (experts p) (fun i e => Rabs (u p i e))) as U.
  { apply sum2_le. intros i e Hi He. destruct (proj2 (Hy i Hi) e He) as [R _].
    pose proof (Rle_abs (u p i e)). pose proof (Rabs_pos (u p i e)). nra. }
  assert (sum2 (rows p) (experts p) (fun i e => entropy (1 / 2)) <=
          sum2 (rows p) (experts p) (fun i e => entropy (y i e))) as E.
  { apply sum2_le. intros i e Hi He. apply entropy_least. apply (proj2 (Hy i Hi) e He). }
  apply (Rmult_le_compat_l (tau p)) in E; [| lra]. lra.
Qed.
End Problem.
