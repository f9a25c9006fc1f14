(* SPDX-License-Identifier: Apache-2.0 *)
(** The pricing rule: what its price does to the active set and to the picks. *)
From Coq Require Import Reals Arith Bool Lra Lia.
From Thermoe Require Import PricingStatement Ranks.
Open Scope nat_scope.

Theorem active_sets_are_nested : Active_sets_are_nested.
Proof.
  intros b low high e [_ Hs] Hle He. unfold active. rewrite !orb_true_iff, !andb_true_iff.
  intros [G | [U P]]; [now left | right]. split; [exact U |].
  destruct (Hs e He) as [_ Hc]. destruct (Rle_dec (high * cost b e) _) as [L | _]; [| discriminate].
  destruct (Rle_dec (low * cost b e) _) as [_ | N]; [reflexivity |].
  pose proof (Rmult_le_compat_r _ _ _ Hc Hle). lra.
Qed.

Theorem active_count_never_rises : Active_count_never_rises.
Proof. intros b low high Hs Hle. apply count_le. intros. now apply active_sets_are_nested with high. Qed.

Lemma union_grows b i j e : i <= j -> union b i e = true -> union b j e = true.
Proof.
  intros H. rewrite !union_spec. intros (t & Ht & B). exists t. split; [exact Ht |].
  apply best_spec in B. apply best_spec. destruct B as (A & O & R). repeat split; auto. lia.
Qed.

Lemma active_in_union b lambda e : sound b -> active b lambda e = true -> union b (k b) e = true.
Proof.
  intros [Hk _]. unfold active. rewrite orb_true_iff, andb_true_iff. intros [G | [U _]]; [| exact U].
  now apply union_grows with (k_min b).
Qed.

(** A token's best stay its best in a smaller set that has them. *)
Lemma best_stays b j S t e : S e = true -> best b j all t e = true -> best b j S t e = true.
Proof.
  rewrite !best_spec. intros Se (_ & O & R). repeat split; auto.
  pose proof (rank_grows b t S all e ltac:(reflexivity)). lia.
Qed.

Theorem active_experts_run : Active_experts_run.
Proof.
  intros b lambda e Hs He A. destruct (proj1 (union_spec b _ e) (active_in_union b lambda e Hs A)) as (t & Ht & B).
  exists t. split; [exact Ht |]. now apply best_stays.
Qed.

(** A set that holds a token's j best gives it those and no other. *)
Lemma best_of_a_set_with_the_best b j S t e : e < experts b ->
  (forall f, f < experts b -> best b j all t f = true -> S f = true) -> best b j S t e = best b j all t e.
Proof.
  intros He H. destruct (best b j all t e) eqn:B; [apply best_stays; auto |].
  destruct (best b j S t e) eqn:A; [exfalso | reflexivity].
  apply best_spec in A. destruct A as (Se & Oe & R).
  assert (j <= rank b all t e) as G.
  { unfold best in B. rewrite Oe in B. simpl in B. now apply Nat.ltb_ge. }
  pose proof (j_best_before b t j all e G) as C.
  assert (count (experts b) (fun f => best b j all t f && better b t f e) <= rank b S t e) as L; [| lia].
  apply count_le. intros f Hf. rewrite andb_true_iff. intros [Bf A]. rewrite (H f Hf Bf).
  apply best_spec in Bf. destruct Bf as (_ & Of & _). rewrite Of, A. reflexivity.
Qed.

Theorem without_price_the_baseline_runs : Without_price_the_baseline_runs.
Proof.
  intros b lambda t e [Hk Hs] H Ht He. apply best_of_a_set_with_the_best; [exact He |].
  intros f Hf B. assert (union b (k b) f = true) as U by (apply union_spec; now exists t).
  unfold active. destruct H as [-> | E].
  - rewrite U. destruct (Hs f Hf) as [L _].
    destruct (Rle_dec (0 * cost b f) (loss b f)) as [_ | N]; [apply orb_true_r | lra].
  - rewrite E, U. reflexivity.
Qed.

Lemma infinite_price_leaves_what_is_kept b lambda f :
  (loss b f < lambda * cost b f)%R -> active b lambda f = union b (k_min b) f.
Proof.
  intros H. unfold active. destruct (Rle_dec _ _); [lra |]. rewrite andb_false_r, orb_false_r. reflexivity.
Qed.

Theorem infinite_price_is_opportunistic : Infinite_price_is_opportunistic.
Proof.
  intros b lambda t e [Hk _] H Ht He. unfold runs, opportunistic.
  set (G := active b lambda).
  assert (forall f, f < experts b -> G f = union b (k_min b) f) as EG
    by (intros; apply infinite_price_leaves_what_is_kept; auto).
  assert (forall f, best b (k_min b) all t f = true -> union b (k_min b) f = true) as Own
    by (intros f B; apply union_spec; now exists t).
  destruct (best b (k_min b) all t e) eqn:B; simpl.
  - apply best_stays; [rewrite EG; auto |]. apply best_spec in B. apply best_spec.
    destruct B as (A & O & R). repeat split; auto. lia.
  - unfold fills at 1. rewrite B, andb_true_r. unfold best at 1. rewrite EG by exact He.
    destruct (union b (k_min b) e) eqn:U, (own b t e) eqn:O; simpl; try reflexivity.
    f_equal. f_equal. unfold rank.
    rewrite <- (count_ext _ (fun f => best b (k_min b) all t f && better b t f e) (best b (k_min b) all t)).
    + apply count_split.
      * intros f Hf. unfold fills. rewrite EG by exact Hf. destruct (best b (k_min b) all t f) eqn:Bf.
        -- rewrite (Own f Bf). apply best_spec in Bf. destruct Bf as (_ & Of & _). rewrite Of. simpl.
           now rewrite orb_false_r.
        -- simpl. now rewrite andb_true_r.
      * intros f Hf. unfold fills. destruct (best b (k_min b) all t f); simpl; [| reflexivity].
        rewrite !andb_false_r. reflexivity.
    + intros f Hf. destruct (best b (k_min b) all t f) eqn:Bf; [| reflexivity]. simpl.
      now apply (best_is_better b t (k_min b) all).
Qed.
