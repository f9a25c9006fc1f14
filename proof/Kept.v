(* SPDX-License-Identifier: Apache-2.0 *)
(** What a set of experts keeps is monotone and submodular: a token's sum of k largest is the least value over θ of
    kθ + Σ max(0, u - θ), and what is below the join and the meet of two thresholds is below them. *)
From Coq Require Import Reals Arith Bool Lra Lia.
From Thermoe Require Import PricingStatement Sums Ranks.
Open Scope R_scope.

Lemma largest n (P : nat -> bool) (u : nat -> R) : (0 < count n P)%nat ->
  exists m, (m < n)%nat /\ P m = true /\ forall i, (i < n)%nat -> P i = true -> u i <= u m.
Proof.
  induction n as [| n IH]; simpl; intros H; [lia |].
  destruct (count n P) as [| c] eqn:C.
  - destruct (P n) eqn:E; [| simpl in H; lia]. exists n. repeat split; [lia | exact E |]. intros i Hi Pi.
    destruct (Nat.eq_dec i n) as [-> | D]; [lra | exfalso].
    enough (0 < count n P)%nat by lia. apply count_positive. exists i. split; [lia | exact Pi].
  - destruct (IH ltac:(lia)) as (m & Hm & Pm & L).
    destruct (P n) eqn:E; [destruct (Rle_lt_dec (u n) (u m)) as [Le | Lt] |].
    + exists m. repeat split; [lia | exact Pm |]. intros i Hi Pi.
      destruct (Nat.eq_dec i n) as [-> | D]; [exact Le | apply L; [lia | exact Pi]].
    + exists n. repeat split; [lia | exact E |]. intros i Hi Pi.
      destruct (Nat.eq_dec i n) as [-> | D]; [lra |]. pose proof (L i ltac:(lia) Pi). lra.
    + exists m. repeat split; [lia | exact Pm |]. intros i Hi Pi.
      destruct (Nat.eq_dec i n) as [-> | D]; [congruence | apply L; [lia | exact Pi]].
Qed.

Lemma sum_of_constant n (P : nat -> bool) c : sum n (fun i => if P i then c else 0) = INR (count n P) * c.
Proof.
  induction n as [| n IH]; simpl; [ring |]. rewrite IH, plus_INR. destruct (P n); simpl; ring.
Qed.

Section Token.
Variables (b : batch) (t : nat).
Hypothesis scores : forall e, 0 <= score b t e.
Notation u := (score b t).

Definition value (S : set) : R := sum (experts b) (fun e => if best b (k b) S t e then u e else 0).
Definition above (S : set) (theta : R) : R :=
  INR (k b) * theta + sum (experts b) (fun e => if S e && own b t e then Rmax 0 (u e - theta) else 0).

Lemma value_below S theta : 0 <= theta -> value S <= above S theta.
Proof.
  intros Ht. unfold value, above.
  apply Rle_trans with (sum (experts b) (fun e =>
    (if best b (k b) S t e then theta else 0) + (if S e && own b t e then Rmax 0 (u e - theta) else 0))).
  - apply sum_le. intros e He. pose proof (Rmax_l 0 (u e - theta)). pose proof (Rmax_r 0 (u e - theta)).
    destruct (best b (k b) S t e) eqn:B.
    + apply best_spec in B. destruct B as (-> & -> & _). simpl. lra.
    + destruct (S e && own b t e); lra.
  - rewrite sum_plus, sum_of_constant. apply Rplus_le_compat_r, Rmult_le_compat_r; [exact Ht |].
    apply le_INR, best_at_most.
Qed.

Lemma value_attained S : exists theta, 0 <= theta /\ value S = above S theta.
Proof.
  set (left_out := fun e => S e && own b t e && negb (best b (k b) S t e)).
  destruct (count (experts b) left_out) as [| c] eqn:C.
  - exists 0. split; [lra |]. unfold value, above. rewrite Rmult_0_r, Rplus_0_l. apply sum_ext. intros e He.
    rewrite Rminus_0_r, Rmax_right by apply scores.
    destruct (best b (k b) S t e) eqn:B.
    + apply best_spec in B. destruct B as (-> & -> & _). reflexivity.
    + destruct (S e && own b t e) eqn:A; [exfalso | reflexivity].
      enough (0 < count (experts b) left_out)%nat by lia. apply count_positive. exists e. split; [exact He |].
      unfold left_out. now rewrite A, B.
  - destruct (largest (experts b) left_out u ltac:(lia)) as (f & Hf & F & L).
    unfold left_out in F. rewrite !andb_true_iff, negb_true_iff in F. destruct F as [[Sf Of] Bf].
    exists (u f). split; [apply scores |].
    assert (count (experts b) (best b (k b) S t) = k b) as K.
    { pose proof (best_count b t S f (k b) Hf Sf Of Bf). pose proof (best_at_most b t (k b) S). lia. }
    unfold value, above. replace (INR (k b)) with (INR (count (experts b) (best b (k b) S t))) by now rewrite K.
    rewrite <- sum_of_constant, <- sum_plus.
    apply sum_ext. intros e He. destruct (best b (k b) S t e) eqn:B.
    + pose proof (best_is_better b t (k b) S e f Hf B Bf Sf Of) as A. apply better_score in A.
      apply best_spec in B. destruct B as (-> & -> & _). simpl. rewrite Rmax_right; lra.
    + destruct (S e && own b t e) eqn:A; [| lra].
      assert (u e <= u f) by (apply L; [exact He |]; unfold left_out; now rewrite A, B).
      rewrite Rmax_left; lra.
Qed.

Lemma value_monotone S T : (forall e, S e = true -> T e = true) -> value S <= value T.
Proof.
  intros H. destruct (value_attained T) as (theta & Ht & ->).
  apply Rle_trans with (above S theta); [now apply value_below |].
  apply Rplus_le_compat_l, sum_le. intros e He. pose proof (Rmax_l 0 (u e - theta)).
  destruct (S e) eqn:E; [rewrite (H e E); lra |]. simpl. destruct (T e && own b t e); lra.
Qed.

Lemma value_submodular S T :
  value (fun e => S e || T e) + value (fun e => S e && T e) <= value S + value T.
Proof.
  destruct (value_attained S) as (s & Hs & ->), (value_attained T) as (r & Hr & ->).
  pose proof (value_below (fun e => S e || T e) (Rmax s r) ltac:(pose proof (Rmax_l s r); lra)) as Join.
  pose proof (value_below (fun e => S e && T e) (Rmin s r) ltac:(now apply Rmin_glb)) as Meet.
  enough (above (fun e => S e || T e) (Rmax s r) + above (fun e => S e && T e) (Rmin s r) <= above S s + above T r)
    by lra.
  unfold above.
  assert (INR (k b) * Rmax s r + INR (k b) * Rmin s r = INR (k b) * s + INR (k b) * r) as E
    by (unfold Rmax, Rmin; destruct (Rle_dec s r); ring).
  match goal with |- ?a + ?x + (?c + ?y) <= ?d + ?z + (?g + ?w) => enough (x + y <= z + w) by lra end.
  rewrite <- !sum_plus. apply sum_le. intros e He. cbv beta.
  unfold Rmax, Rmin. destruct (Rle_dec s r), (S e), (T e), (own b t e); simpl;
    repeat match goal with |- context [Rle_dec ?x ?y] => destruct (Rle_dec x y) end; lra.
Qed.
End Token.

Theorem kept_is_monotone : Kept_is_monotone.
Proof. intros b S T Hu H. apply sum_le. intros t Ht. apply (value_monotone b t (Hu t) S T H). Qed.

Theorem kept_is_submodular : Kept_is_submodular.
Proof.
  intros b S T Hu. unfold kept, sum2. rewrite <- !sum_plus. apply sum_le. intros t Ht.
  apply (value_submodular b t (Hu t) S T).
Qed.
